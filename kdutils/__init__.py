"""Models, losses and training loops for replicating Vats & Crandall (2021) on response-based distillation."""

__version__ = "0.1.0"
