import os

SECRET_KEY = "not-secret"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "django_app.urls"
INSTALLED_APPS = ["sovdev_logger.integrations.django.SovdevConfig"]
MIDDLEWARE = [
    "sovdev_logger.integrations.django.SovdevMiddleware",
    "django.middleware.common.CommonMiddleware",
]
SOVDEV = {
    "SERVICE_NAME": "orders",
    "RESOLVER": "django_app.urls.resolve",
    **({"CAPTURE_LOGGING": None} if os.environ.get("DJANGO_APP_LOGGING") else {}),
}
USE_TZ = True
if os.environ.get("DJANGO_APP_LOGGING"):
    LOGGING = {
        "version": 1,
        "disable_existing_loggers": True,
        "handlers": {"sovdev": {"class": "sovdev_logger.integrations.stdlib.SovdevHandler"}},
        "root": {"handlers": ["sovdev"], "level": "INFO"},
        "loggers": {
            "django": {"handlers": ["sovdev"], "level": "INFO", "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
        },
    }
else:
    LOGGING_CONFIG = None
