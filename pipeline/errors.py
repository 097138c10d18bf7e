"""What a user can mend, as a tree; a caller catches the branch that it can mend.

PipelineError        one sentence: what is required first, what was given last
  ConfigError        a value of the configuration, or an override
  DataError          the user's table, or what a fit can make of it
  ArtifactError      a file that a stage made: not there, damaged, or of another run
  StoreError         the tracking store
  CommandError       what a command was asked to do
"""


class PipelineError(ValueError):
    """What was given cannot be used. The message is one sentence."""


class ConfigError(PipelineError):
    """A value of the configuration, or an override, is impossible."""


class DataError(PipelineError):
    """The user's table, or what a fit can make of it, cannot be used."""


class ArtifactError(PipelineError):
    """A file that a stage made is not there, damaged, or of another run."""


class StoreError(PipelineError):
    """The tracking store cannot be used."""


class CommandError(PipelineError):
    """A command cannot do what it was asked to do."""
