"""Runs Django's own tests of a cache backend against ours: django_cache_program.py TESTS DIRECTORY.

TESTS is the directory `tests` of Django's source distribution, of the version that is installed; DIRECTORY is
where the caches are. What Django's own file-based backend is tested with applies; tests/interop has the list
of what is left out, and why.
"""

from __future__ import annotations

import sys
import unittest

import django
from django.conf import settings

#: Of those in Django's BaseCacheTests, these do not apply.
LEFT_OUT = {
    "test_cull": "culling by number is for backends without a size: ours evicts by itself",
    "test_zero_cull": "the same",
    "test_cull_delete_when_store_empty": "the same",
}


def cases(directory: str) -> type[unittest.TestCase]:
    """Django's tests over our backend."""
    from cache.tests import BaseCacheTests, caches_setting_for_tests
    from django.core.cache import cache
    from django.test import TestCase, override_settings

    given = caches_setting_for_tests(
        BACKEND="ipcmules.django.Cache", LOCATION=f"{directory}/cache", OPTIONS={"size": "16M"}
    )

    @override_settings(CACHES=given)
    class OurCacheTests(BaseCacheTests, TestCase):  # type: ignore[misc] # what Django's tests have no types of
        incr_decr_type_error = TypeError

        def setUp(self) -> None:
            super().setUp()
            cache.clear()

    for name in LEFT_OUT:
        setattr(OurCacheTests, name, None)
    return OurCacheTests


def main(tests: str, directory: str) -> int:
    sys.path.insert(0, tests)
    settings.configure(
        DATABASES={
            name: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
            for name in ("default", "other")
        },
        INSTALLED_APPS=["django.contrib.contenttypes", "cache"],
        SECRET_KEY="for tests",
        USE_TZ=False,
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )
    django.setup()
    from django.test.runner import DiscoverRunner

    runner = DiscoverRunner(verbosity=1)
    runner.setup_test_environment()
    databases = runner.setup_databases()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(cases(directory))
    done = unittest.TextTestRunner(verbosity=1).run(suite)
    runner.teardown_databases(databases)
    print(f"RAN {done.testsRun}", flush=True)
    return not done.wasSuccessful()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
