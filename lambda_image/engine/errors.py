"""What the engine raises. Every message says what happened, where, and what to do next.

EngineError
├── CheckpointError      a checkpoint that can't be read, or that the decoder doesn't support
├── BundleError          a bundle that is missing, damaged, or made for another machine
├── PromptError          messages that can't become a prompt
│   └── PromptTooLong    system message and last turn alone exceed the context
└── NumericsError        logits that are not finite
"""


class EngineError(Exception):
    """Base of the engine's errors; its text can be shown to a user."""


class CheckpointError(EngineError):
    """The checkpoint can't become a bundle."""


class BundleError(EngineError):
    """The bundle can't be loaded."""


class PromptError(EngineError):
    """The messages can't become a prompt."""


class PromptTooLong(PromptError):
    """The last turn can't fit, even alone."""


class NumericsError(EngineError):
    """The forward pass gave NaN or infinity."""
