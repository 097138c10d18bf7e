"""What a user can mend, as a tree; a caller catches the branch that it can mend."""


class PipelineError(ValueError):
    """What was given cannot be used. The message is one sentence: what is required first, what was given last."""


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
