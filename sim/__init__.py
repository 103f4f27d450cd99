"""The judge: cocotb benches that import gate2hw.ir alone and share no code with what they judge."""
