"""The three representations and their readers and writers; numpy, networkx, safetensors only."""
