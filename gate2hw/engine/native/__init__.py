"""The engine in C, and the library that is built of it."""
