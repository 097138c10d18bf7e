"""How well a model predicts a test table: metrics, intervals, figures. No framework, no printing."""
