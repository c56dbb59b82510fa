"""One YAML file is one run: read, checked strictly, every mistake at once. No torch here."""

from anyclip.config.load import check_trainable, config_from_dict, dump_config, load_config
from anyclip.config.normalize import named, projection
from anyclip.config.schema import Config

__all__ = ["Config", "check_trainable", "config_from_dict", "dump_config", "load_config", "named", "projection"]
