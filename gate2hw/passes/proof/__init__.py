"""Proof that two netlists are equal: which signals must be, by ABC whole, in parts, in pairs."""
