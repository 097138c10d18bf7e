"""The science of fitting: arrays in, arrays out. No framework, no printing."""
