"""Every exception and warning that busfn raises.

::

    Error
    ├── InvalidError                 the code or the call is wrong; nothing was sent
    │   └── ConflictError            it clashes with something that exists
    ├── NotFoundError                no such app or function
    ├── AlreadyExistsError
    ├── AuthError                    the server refused our credentials
    ├── PermissionDeniedError        the server refused this subject
    ├── ResourceExhaustedError       a limit was reached
    │   └── QueueFull                the stream that keeps waiting calls is full
    ├── ServiceError                 the other side could not serve the call
    ├── ConnectionError              no server, or the connection is gone
    │   └── NoResponders             nobody serves this subject now
    ├── ClientClosed                 the client was closed while in use
    ├── VersionError                 the server or the peer is too old
    ├── RequestSizeError             a message exceeds what the server takes
    ├── RemoteError                  a remote failure that cannot be rebuilt here
    ├── ExecutionError               used in a state that does not allow it
    ├── SerializationError           a value cannot be sent
    ├── DeserializationError         a value cannot be read
    │   └── ProtocolError            a message breaks the wire protocol
    ├── InternalFailure              busfn gave up: a worker kept dying, a message got lost
    └── TimeoutError
        ├── FunctionTimeoutError     the body ran longer than its ``timeout``
        └── OutputExpiredError       the result is no longer kept

    InputCancellation (BaseException)    raised inside a body that is cancelled
    DeprecationError, ServerWarning, AsyncUsageWarning (UserWarning)
"""


class Error(Exception):
    """Root of all errors that busfn raises."""


class InvalidError(Error):
    """The code or the call is wrong; nothing was sent."""


class ConflictError(InvalidError):
    """The request clashes with something that exists."""


class NotFoundError(Error):
    """There is no such app, function or object."""


class AlreadyExistsError(Error):
    """The name is taken."""


class AuthError(Error):
    """The server refused our credentials."""


class PermissionDeniedError(Error):
    """The server does not let this user use this subject."""


class ResourceExhaustedError(Error):
    """A limit was reached."""


class QueueFull(ResourceExhaustedError):
    """The stream that keeps waiting calls is full."""


class ServiceError(Error):
    """The other side could not serve the call."""


class ConnectionError(Error):
    """No server can be reached, or the connection is gone."""


class NoResponders(ConnectionError):
    """Nobody serves this subject at the moment."""


class ClientClosed(Error):
    """The client was closed while in use."""


class VersionError(Error):
    """The server or the peer is too old."""


class RequestSizeError(Error):
    """A message is larger than the server takes."""


class RemoteError(Error):
    """A remote failure that cannot be rebuilt here; its text has the class, message and traceback."""


class ExecutionError(Error):
    """Used in a state that does not allow it."""


class SerializationError(Error):
    """A value cannot be sent."""


class DeserializationError(Error):
    """A value cannot be read."""


class ProtocolError(DeserializationError):
    """A message breaks the wire protocol."""


class InternalFailure(Error):
    """busfn gave up on a call: its workers kept dying, or a message was lost."""


class TimeoutError(Error):
    """Something took longer than it was allowed to."""


class FunctionTimeoutError(TimeoutError):
    """The body ran longer than the function's ``timeout``."""


class OutputExpiredError(TimeoutError):
    """The result is no longer kept."""


class InputCancellation(BaseException):
    """Raised inside a body whose call was cancelled."""


class DeprecationError(UserWarning):
    """A feature that will go away."""


class ServerWarning(UserWarning):
    """The server advises against something."""


class AsyncUsageWarning(UserWarning):
    """A blocking call was made where a running event loop waits for it."""
