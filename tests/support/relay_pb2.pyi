from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AckMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACK_MODE_UNSPECIFIED: _ClassVar[AckMode]
    ACK_PER_MESSAGE: _ClassVar[AckMode]
    ACK_BATCH: _ClassVar[AckMode]
    ACK_NONE: _ClassVar[AckMode]
ACK_MODE_UNSPECIFIED: AckMode
ACK_PER_MESSAGE: AckMode
ACK_BATCH: AckMode
ACK_NONE: AckMode

class VersionInfo(_message.Message):
    __slots__ = ("major", "minor")
    MAJOR_FIELD_NUMBER: _ClassVar[int]
    MINOR_FIELD_NUMBER: _ClassVar[int]
    major: int
    minor: int
    def __init__(self, major: _Optional[int] = ..., minor: _Optional[int] = ...) -> None: ...

class MessageMetadata(_message.Message):
    __slots__ = ("headers", "content_type", "version", "trace_id")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    headers: _containers.ScalarMap[str, str]
    content_type: str
    version: VersionInfo
    trace_id: str
    def __init__(self, headers: _Optional[_Mapping[str, str]] = ..., content_type: _Optional[str] = ..., version: _Optional[_Union[VersionInfo, _Mapping]] = ..., trace_id: _Optional[str] = ...) -> None: ...

class StreamOpen(_message.Message):
    __slots__ = ("stream_id", "defaults", "ack_mode", "ack_every_n", "max_in_flight", "omit_payload_metadata")
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    ACK_MODE_FIELD_NUMBER: _ClassVar[int]
    ACK_EVERY_N_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    OMIT_PAYLOAD_METADATA_FIELD_NUMBER: _ClassVar[int]
    stream_id: str
    defaults: MessageMetadata
    ack_mode: AckMode
    ack_every_n: int
    max_in_flight: int
    omit_payload_metadata: bool
    def __init__(self, stream_id: _Optional[str] = ..., defaults: _Optional[_Union[MessageMetadata, _Mapping]] = ..., ack_mode: _Optional[_Union[AckMode, str]] = ..., ack_every_n: _Optional[int] = ..., max_in_flight: _Optional[int] = ..., omit_payload_metadata: bool = ...) -> None: ...

class StreamClose(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class WrappedPayload(_message.Message):
    __slots__ = ("id", "timestamp", "payload", "metadata", "seq", "payload_type")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_TYPE_FIELD_NUMBER: _ClassVar[int]
    id: str
    timestamp: _timestamp_pb2.Timestamp
    payload: bytes
    metadata: MessageMetadata
    seq: int
    payload_type: str
    def __init__(self, id: _Optional[str] = ..., timestamp: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., payload: _Optional[bytes] = ..., metadata: _Optional[_Union[MessageMetadata, _Mapping]] = ..., seq: _Optional[int] = ..., payload_type: _Optional[str] = ...) -> None: ...

class RelayEnvelope(_message.Message):
    __slots__ = ("open", "payload", "close")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    open: StreamOpen
    payload: WrappedPayload
    close: StreamClose
    def __init__(self, open: _Optional[_Union[StreamOpen, _Mapping]] = ..., payload: _Optional[_Union[WrappedPayload, _Mapping]] = ..., close: _Optional[_Union[StreamClose, _Mapping]] = ...) -> None: ...

class StreamAcknowledgment(_message.Message):
    __slots__ = ("success", "message", "stream_id", "id", "seq", "code", "retryable", "last_seq", "ok_count", "err_count")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    OK_COUNT_FIELD_NUMBER: _ClassVar[int]
    ERR_COUNT_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    stream_id: str
    id: str
    seq: int
    code: int
    retryable: bool
    last_seq: int
    ok_count: int
    err_count: int
    def __init__(self, success: bool = ..., message: _Optional[str] = ..., stream_id: _Optional[str] = ..., id: _Optional[str] = ..., seq: _Optional[int] = ..., code: _Optional[int] = ..., retryable: bool = ..., last_seq: _Optional[int] = ..., ok_count: _Optional[int] = ..., err_count: _Optional[int] = ...) -> None: ...
