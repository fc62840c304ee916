"""How good is an emulator, beside the simplest things that could replace it."""
