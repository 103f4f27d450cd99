"""Other people's models and files: torchlogix, difflogic, torch_dwn; netlists by suffix."""
