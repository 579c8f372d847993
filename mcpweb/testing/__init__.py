"""For our own tests and for plugin authors: contracts to inherit, honest stand-ins, fixtures."""
