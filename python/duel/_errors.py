"""What can go wrong, by who is at fault."""


class Error(Exception):
    """An error of the engine's."""


class UsageError(Error, ValueError):
    """An argument or a setting is out of its range: the caller's mistake."""


class InputError(Error, ValueError):
    """Data or a checkpoint are malformed, damaged, too small or of another run."""


class FileError(Error, OSError):
    """A file is missing, unreadable or unwritable, or the disk is full."""


class DivergedError(Error, ArithmeticError):
    """Training left the finite. The trainer can only load a state."""


class MachineError(Error, RuntimeError):
    """The machine lacks something: memory, threads, an instruction set, the default mode of its floating-point unit."""


class MismatchError(Error, RuntimeError):
    """Something recomputed is not what was published."""
