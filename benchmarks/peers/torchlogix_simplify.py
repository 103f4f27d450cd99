"""Run torchlogix's own simplify on a Circuit JSON; prints one line of JSON. Its environment only.

build/peers/torchlogix/bin/python benchmarks/peers/torchlogix_simplify.py IN.json
"""

import json
import sys
import time
from collections import Counter
from importlib import metadata

from torchlogix.circuit import Circuit

circuit = Circuit.from_json_file(sys.argv[1])
start = time.perf_counter()
circuit.simplify()
seconds = time.perf_counter() - start
by_op = Counter(gate.op.name for gate in circuit.gates)
print(
    json.dumps(
        {
            "time_s": seconds,
            "by_op": by_op,
            "popcount_inputs": sum(len(node.input_ids) for node in circuit.sum_nodes),
            "version": metadata.version("torchlogix"),
        }
    )
)
