"""``reinforce config`` and ``presets``: show configurations."""

from dataclasses import dataclass

from reinforce.cluster.commands.arguments import Command, ConfiguredCommand
from reinforce.cluster.console import PlainConsole
from reinforce.configs.loading import preset_names, preset_summary, to_yaml


@dataclass(frozen=True, kw_only=True)
class ConfigCommand(ConfiguredCommand):
    """Print the resolved configuration as YAML."""

    def execute(self) -> int:
        PlainConsole().say_data(to_yaml(self.config).rstrip("\n"))
        return 0


@dataclass(frozen=True, kw_only=True)
class PresetsCommand(Command):
    """List the presets."""

    def execute(self) -> int:
        for name in preset_names():
            PlainConsole().say(f"{name:<18}{preset_summary(name)}")
        return 0
