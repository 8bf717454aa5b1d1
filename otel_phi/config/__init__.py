"""Configuration: keyword, flag, environment, default. The only room that reads the environment."""

from otel_phi.config.config import Config, Options, resolve, state_dir

__all__ = ["Config", "Options", "resolve", "state_dir"]
