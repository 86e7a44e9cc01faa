"""The exceptions that a user can meet: each message is one sentence that says what was found and what to do."""


class PreopError(Exception):
    """Base of all errors that are the input's, the model's or the machine's fault, not the program's."""


class InvalidInputError(PreopError):
    """A case, a cohort table or a file that cannot be used as it is."""


class InvalidModelError(PreopError):
    """A model folder that is missing, damaged, or made for another algorithm."""


class InvalidOutputError(PreopError):
    """A result that the platform would refuse, or that cannot be written."""


class MissingToolError(PreopError):
    """A program or a permission that this machine lacks."""
