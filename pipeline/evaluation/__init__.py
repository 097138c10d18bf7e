"""What a test table says of a model: metrics, intervals, figures. No framework, no printing."""
