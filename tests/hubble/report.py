# SPDX-License-Identifier: BSD-2-Clause
"""Run a unittest program with a line "ok" or "not ok" for each test: report.py PROGRAM"""
import importlib
import os
import sys
import unittest


class Result(unittest.TestResult):
    def __init__(self, stream=None, descriptions=None, verbosity=None):
        super().__init__(stream, descriptions, verbosity)
        self.bad = set()

    def tell(self, test, error):
        self.bad.add(test.id())
        print(f"{test.id()}:\n{self._exc_info_to_string(error, test)}")

    def addError(self, test, err):
        self.tell(test, err)
        super().addError(test, err)

    def addFailure(self, test, err):
        self.tell(test, err)
        super().addFailure(test, err)

    def addSubTest(self, test, subtest, err):
        if err:
            self.tell(test, err)
        super().addSubTest(test, subtest, err)

    def addSkip(self, test, reason):
        print(f"skip: {reason}")
        self.bad.add(test.id())
        super().addSkip(test, reason)

    def stopTest(self, test):
        skipped = any(t is test for t, _ in self.skipped)
        if not skipped:
            print("not ok" if test.id() in self.bad else "ok", test.id(), flush=True)
        super().stopTest(test)


sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[1])))
module = importlib.import_module(os.path.splitext(os.path.basename(sys.argv[1]))[0])
tests = unittest.defaultTestLoader.loadTestsFromModule(module)
result = Result()
tests.run(result)
sys.exit(not result.wasSuccessful())
