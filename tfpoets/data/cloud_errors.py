"""Explain the errors of cloud storage in words. Messages of servers are not repeated: some contain signatures."""
from __future__ import annotations

from collections.abc import Iterator

from tfpoets.errors import DataError, PhotoError

from .cloud_address import bucket_of, scheme_of

# Names of classes in the packages of all three services, so that none of them has to be imported.
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound",
                   "TokenRetrievalError", "UnauthorizedSSOTokenError", "SSOTokenLoadError", "InvalidConfigError",
                   "ClientAuthenticationError", "DefaultCredentialsError", "RefreshError"}
_NO_NETWORK = {"HTTPClientError", "ConnectionError", "ClientConnectionError", "ClientPayloadError", "TransportError",
               "ServiceRequestError", "ServiceResponseError", "gaierror", "ProxyError"}
_TOO_LATE = {"TimeoutError", "FSTimeoutError", "ConnectTimeoutError", "ReadTimeoutError"}
_EMPTY_FILE = {"InvalidRange", "416"}
_NOT_ALLOWED = {"401", "403", "AccessDenied"}

_CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for a public bucket, set "
          "FSSPEC_S3_ANON=true.",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS to a key file, or log in with gcloud; for a public bucket, set "
          "FSSPEC_GS_TOKEN=anon.",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_CONNECTION_STRING; for a "
          "public container, set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ANON=true."}
_NETWORK = {
    "s3": "Check the network, AWS_REGION and, for a server of your own, AWS_ENDPOINT_URL.",
    "gs": "Check the network and, for a server of your own, STORAGE_EMULATOR_HOST.",
    "az": "Check the network and AZURE_STORAGE_ACCOUNT_NAME."}


def listing_error(error: BaseException, address: str) -> DataError:
    """Return the error for photos that cannot be listed, or can no longer be read."""
    names, codes, service = set(_class_names(error)), _codes(error), _service(address)
    bucket = bucket_of(address)
    if "NoSuchBucket" in codes or "ContainerNotFound" in codes:
        return DataError(f"There is no bucket {bucket}.", "Check the address.")
    if "FileNotFoundError" in names:
        return DataError(f"There is nothing at {address}.", "Check the address.")
    if "InvalidBucketName" in codes or "ParamValidationError" in names:
        return DataError(f"{bucket} is not a valid name of a bucket.", "Check the address.")
    if names & _NO_CREDENTIALS or service == "az" and isinstance(error, ValueError):
        return DataError(f"There are no valid credentials for {bucket}.", _CREDENTIALS[service])
    if _is_forbidden(error):
        return DataError(f"The credentials do not allow {address} to be read{_in_brackets(codes)}.",
                         f"Ask for the permission to list and read it. {_CREDENTIALS[service]}")
    if names & (_NO_NETWORK | _TOO_LATE):
        return DataError(f"The server of {bucket} cannot be reached.", _NETWORK[service])
    return DataError(f"{address} cannot be read{_in_brackets(codes) or f' ({type(error).__name__})'}.",
                     "Check the address and the credentials, or try again later.")


def photo_error(error: BaseException) -> PhotoError:
    """Return the error for a single photo that cannot be read."""
    names, codes = set(_class_names(error)), _codes(error)
    if "FileNotFoundError" in names:
        return PhotoError("there is no such file")
    if _is_forbidden(error) or names & _NO_CREDENTIALS:
        return PhotoError("no permission to read it")
    if names & _TOO_LATE:
        return PhotoError("it did not arrive in time")
    if names & _NO_NETWORK:
        return PhotoError("the connection was lost before everything had arrived")
    return PhotoError(f"it cannot be read{_in_brackets(codes) or f' ({type(error).__name__})'}")


def is_missing(error: BaseException) -> bool:
    """Return whether an error states that there is no such file."""
    return "FileNotFoundError" in _class_names(error)


def is_empty_file(error: BaseException) -> bool:
    """Return whether an error states that a file has no first byte."""
    return bool(_EMPTY_FILE & set(_codes(error)))


def _is_forbidden(error: BaseException) -> bool:
    return (isinstance(error, PermissionError) or bool(_NOT_ALLOWED & set(_codes(error)))
            or isinstance(error, OSError) and str(error).startswith("Forbidden"))  # gcsfs


def _service(address: str) -> str:
    scheme = scheme_of(address)
    return "az" if scheme.startswith("abfs") else scheme


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    current: BaseException | None = error
    for _ in range(10):
        if current is None:
            return
        yield current
        current = current.__cause__


def _class_names(error: BaseException) -> list[str]:
    return [cls.__name__ for link in _chain(error) for cls in type(link).__mro__]


def _codes(error: BaseException) -> list[str]:
    """Return the codes that a server gave for an error, such as "NoSuchBucket" or "403"."""
    codes = []
    for link in _chain(error):
        response = getattr(link, "response", None)
        if isinstance(response, dict):  # botocore
            codes.append(response.get("Error", {}).get("Code"))
        codes += [getattr(link, name, None) for name in ("error_code", "code", "status_code", "status")]
    return [str(getattr(code, "value", code)) for code in codes if isinstance(code, int | str) and code]


def _in_brackets(codes: list[str]) -> str:
    return f" ({codes[0]})" if codes and codes[0].isalnum() else ""
