"""The LUT netlist of a build is proved, and a wrong one is caught by proof and by simulation."""

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError
from gate2hw.flow.build import LUTS, BuildFolder
from gate2hw.flow.signoff.checks import check_software, load_chain, prove_luts
from gate2hw.ir.lutnetlist import load_lutnetlist, save_lutnetlist


def test_the_luts_of_a_build_are_proved(build, tmp_path):
    chain = load_chain(BuildFolder(build))
    assert chain.luts is not None
    assert prove_luts(chain, tmp_path / "proof")["result"] == "equivalent"


@pytest.mark.parametrize("address", [0, -1])
def test_a_flipped_table_bit_is_caught(build, tmp_path, address):
    luts = load_lutnetlist(build / LUTS)
    init = luts.init.copy()
    last = int(luts.outputs[0] >> 1) - luts.first_gate
    bit = address % (1 << int(luts.n_used[last]))
    init[last] ^= np.uint64(1 << bit)
    save_lutnetlist(build / LUTS, luts.with_(init=init))
    chain = load_chain(BuildFolder(build))
    with pytest.raises(CheckFailedError, match=r"luts4\.npz is different"):
        prove_luts(chain, tmp_path / "proof")
    with pytest.raises(CheckFailedError, match="LUT netlist"):
        check_software(chain, 256)
