import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_JOINED: _ClassVar[Kind]
    KIND_LEFT: _ClassVar[Kind]
    KIND_RENAMED: _ClassVar[Kind]
    KIND_WHO: _ClassVar[Kind]
    KIND_PRESENT: _ClassVar[Kind]
    KIND_NOTICE: _ClassVar[Kind]
    KIND_ENTERED: _ClassVar[Kind]
    KIND_EXITED: _ClassVar[Kind]
    KIND_HISTORY: _ClassVar[Kind]
    KIND_ROOMS: _ClassVar[Kind]
    KIND_ACTION: _ClassVar[Kind]
    KIND_REMOVED: _ClassVar[Kind]
    KIND_BANNED: _ClassVar[Kind]
    KIND_MUTED: _ClassVar[Kind]
    KIND_CLOSED: _ClassVar[Kind]
    KIND_OPENED: _ClassVar[Kind]
    KIND_INVITED: _ClassVar[Kind]
    KIND_KEY: _ClassVar[Kind]
    KIND_SEARCH: _ClassVar[Kind]
KIND_UNSPECIFIED: Kind
KIND_JOINED: Kind
KIND_LEFT: Kind
KIND_RENAMED: Kind
KIND_WHO: Kind
KIND_PRESENT: Kind
KIND_NOTICE: Kind
KIND_ENTERED: Kind
KIND_EXITED: Kind
KIND_HISTORY: Kind
KIND_ROOMS: Kind
KIND_ACTION: Kind
KIND_REMOVED: Kind
KIND_BANNED: Kind
KIND_MUTED: Kind
KIND_CLOSED: Kind
KIND_OPENED: Kind
KIND_INVITED: Kind
KIND_KEY: Kind
KIND_SEARCH: Kind

class Message(_message.Message):
    __slots__ = ("user", "message", "id", "sent_at", "kind", "key", "to", "batch", "room", "sealed")
    USER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    user: str
    message: str
    id: int
    sent_at: _timestamp_pb2.Timestamp
    kind: Kind
    key: str
    to: str
    batch: _containers.RepeatedCompositeFieldContainer[Message]
    room: str
    sealed: bytes
    def __init__(self, user: _Optional[str] = ..., message: _Optional[str] = ..., id: _Optional[int] = ..., sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[Kind, str]] = ..., key: _Optional[str] = ..., to: _Optional[str] = ..., batch: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., room: _Optional[str] = ..., sealed: _Optional[bytes] = ...) -> None: ...
