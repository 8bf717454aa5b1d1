"""Configuration: keyword, flag, environment, default. The only room that reads the environment."""

from otel_phi.config.config import Config, Options, cache_dir, resolve, state_dir

__all__ = ["Config", "Options", "cache_dir", "resolve", "state_dir"]
