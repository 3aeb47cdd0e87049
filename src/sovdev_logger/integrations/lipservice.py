"""Adaptive sampling in one line for a framework's application."""

from collections.abc import Mapping
from typing import Any, Final

from sovdev_logger.sampling import AdaptiveLogging, configure_adaptive_logging

_DJANGO_KEYS: Final = {
    "SERVICE_NAME": "service_name",
    "LIPSERVICE_URL": "lipservice_url",
    "API_KEY": "api_key",
    "TEAM_ID": "team_id",
    "POLICY_REFRESH_INTERVAL": "policy_refresh_interval",
    "PATTERN_REPORT_INTERVAL": "pattern_report_interval",
    "MAX_PATTERN_CACHE_SIZE": "max_pattern_cache_size",
    "FALLBACK_SAMPLE_RATE": "fallback_sample_rate",
    "USE_STRUCTLOG": "use_structlog",
    "TRUSTED_NETWORK": "trusted_network",
}


def configure_lipservice_fastapi(
    service_name: str, lipservice_url: str, *, app: Any = None, **options: Any
) -> AdaptiveLogging:
    """Sample by LipService's policy, and set a FastAPI application up if one is given.

    Args:
        service_name, lipservice_url: As for ``configure_adaptive_logging``.
        app: Gets ``configure_fastapi`` with the same service name.
        options: The other arguments of ``configure_adaptive_logging``.

    Raises:
        ValueError, TypeError: An argument cannot be used.

    Specification: integrations, sampling.
    """
    adaptive = configure_adaptive_logging(service_name, lipservice_url, **options)
    if app is not None:
        from sovdev_logger.integrations.asgi import configure_fastapi  # noqa: PLC0415

        configure_fastapi(app, service_name)
    return adaptive


def configure_lipservice_django() -> AdaptiveLogging:
    """Sample by LipService's policy, as the setting ``LIPSERVICE`` says.

    ``LIPSERVICE = {"SERVICE_NAME": "orders", "LIPSERVICE_URL": "https://..."}``; further keys are
    ``API_KEY``, ``TEAM_ID``, ``POLICY_REFRESH_INTERVAL``, ``PATTERN_REPORT_INTERVAL``,
    ``MAX_PATTERN_CACHE_SIZE``, ``FALLBACK_SAMPLE_RATE``, ``USE_STRUCTLOG`` and
    ``TRUSTED_NETWORK``. Call it where the settings are complete, such as in an app's ``ready``.

    Raises:
        ImproperlyConfigured: The setting is missing or cannot be used.
        ImportError: The extra ``django`` is missing.

    Specification: integrations, sampling.
    """
    try:
        from django.conf import settings  # noqa: PLC0415 - an extra
        from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("Django is missing: install sovdev-logger[django]") from error
    options = getattr(settings, "LIPSERVICE", None)
    needed = {"SERVICE_NAME", "LIPSERVICE_URL"}
    if not isinstance(options, Mapping) or not needed <= options.keys() <= _DJANGO_KEYS.keys():
        raise ImproperlyConfigured(
            f"LIPSERVICE must have SERVICE_NAME and LIPSERVICE_URL, and no other keys than "
            f"{', '.join(_DJANGO_KEYS)}"
        )
    try:
        return configure_adaptive_logging(
            **{_DJANGO_KEYS[name]: value for name, value in options.items()}
        )
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"LIPSERVICE: {error}") from error


def init_lipservice(
    app: Any, *, service_name: str, lipservice_url: str, **options: Any
) -> AdaptiveLogging:
    """Sample by LipService's policy, and give a Flask application its requests' entries.

    Args:
        app: Gets ``init_app`` with the same service name.
        service_name, lipservice_url: As for ``configure_adaptive_logging``.
        options: The other arguments of ``configure_adaptive_logging``.

    Raises:
        ValueError, TypeError: An argument cannot be used.
        ImportError: The extra ``flask`` is missing.

    Specification: integrations, sampling.
    """
    from sovdev_logger.integrations.flask import init_app  # noqa: PLC0415

    adaptive = configure_adaptive_logging(service_name, lipservice_url, **options)
    init_app(app, service_name)
    return adaptive
