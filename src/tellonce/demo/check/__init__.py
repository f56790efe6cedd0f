"""The independent check: reads the authorities' and the departments' databases and says who holds something else.

It imports nothing of the services and reads none of their files. How the register shows in each department's table is
written out here a second time, plainly, so that a mistake in codecs, matching or bindings cannot hide in both.
"""

from tellonce.demo.check.judgement import check, check_folder
from tellonce.demo.check.results import CheckError, CheckResult, Finding, Known, Ownership, ViewResult

__all__ = ["CheckError", "CheckResult", "Finding", "Known", "Ownership", "ViewResult", "check", "check_folder"]
