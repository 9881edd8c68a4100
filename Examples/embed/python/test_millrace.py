"""python3 -m unittest: the package against the library that it finds."""

import gc
import threading
import unittest

import millrace

GREETING = """
format: 1
workflow: greeting
parameters:
  who: { description: Whom to greet, default: you }
result: shout
tasks:
  - { id: hello, handler: hello, input: { to: "${params.who}" } }
  - { id: shout, handler: shout, dependencies: [hello] }
"""


class EngineTests(unittest.TestCase):
    def test_a_workflow_runs_with_functions_of_python(self) -> None:
        with millrace.Engine(threads=2) as engine:
            engine.register("hello", lambda task: f"hello {task.input['to']}")
            engine.register("shout", lambda task: task.inputs[0].upper() + "!")
            workflow = engine.prepare(GREETING, "greeting.yaml")
            self.assertEqual(workflow.run(), "HELLO YOU!")
            self.assertEqual(workflow.run({"who": "wörld"}), "HELLO WÖRLD!")
            self.assertEqual(engine.metrics["runs_completed"], 2)

    def test_what_a_function_raises_fails_the_attempt_and_is_recorded(self) -> None:
        def fails(task: millrace.Task) -> None:
            if task.attempt == 1:
                raise millrace.Failure("busy", "come back later")
            raise ValueError("it never works")

        with millrace.Engine(threads=1) as engine:
            engine.register("fails", fails)
            workflow = engine.prepare("format: 1\nworkflow: w\ntasks: [{ id: a, handler: fails, retry: { attempts: 2, initial: 1ms } }]")
            with self.assertRaises(millrace.RunFailed) as caught:
                workflow.run()
            attempts = caught.exception.run.record["tasks"][0]["attempts"]
            self.assertEqual([attempt["errorType"] for attempt in attempts], ["busy", "ValueError"])
            self.assertIn("it never works", attempts[1]["message"])

    def test_a_definition_with_a_fault_is_refused_with_its_place(self) -> None:
        with millrace.Engine(threads=1) as engine:
            with self.assertRaises(millrace.MillraceError) as caught:
                engine.prepare("format: 1\nworkflow: w\ntasks:\n  - { id: a, handler: nothing }\n", "w.yaml")
            self.assertEqual(caught.exception.code, "MILLRACE_BAD_DEFINITION")
            self.assertIn("w.yaml:4", str(caught.exception))

    def test_messages_are_handled_and_answered_by_functions(self) -> None:
        answers: list[int] = []
        done = threading.Event()

        def keep(task: millrace.Task) -> None:
            answers.append(task.input)
            if len(answers) == 3:
                done.set()

        with millrace.Engine(threads=2) as engine:
            engine.declare("numbers", max_messages=3)
            engine.declare("squares")
            for number in (1, 2, 3):
                self.assertEqual(engine.publish("numbers", number, reply_to="squares"), 1)
            with self.assertRaises(millrace.MillraceError) as caught:
                engine.publish("numbers", 4)
            self.assertEqual(caught.exception.code, "MILLRACE_FULL")
            engine.subscribe("squares", keep)
            engine.subscribe("numbers", lambda task: task.input**2)
            self.assertTrue(done.wait(60))
        self.assertEqual(sorted(answers), [1, 4, 9])

    def test_a_handler_is_told_of_its_message_and_a_request_gets_the_answer(self) -> None:
        def tell(task: millrace.Task) -> object:
            message = task.message
            assert message is not None
            if message.failed == 0:
                raise millrace.Failure("busy")
            return [message.queue, message.key, message.headers, message.acquired, message.priority, message.reply_to is not None, message.id, task.input]

        def refuse(_: millrace.Task) -> None:
            raise millrace.Failure("no-such-thing", "nothing of that kind", retryable=False)

        with millrace.Engine(threads=2) as engine:
            for queue in ("words", "nothing", "silent"):
                engine.declare(queue)
            engine.subscribe("words", tell)
            engine.subscribe("nothing", refuse)
            self.assertEqual(
                engine.request("words", {"a": 1}, headers={"kind": "x", "colour": "blau wie Öl"}),
                ["words", "words", {"colour": "blau wie Öl", "kind": "x"}, 1, 1, True, None, {"a": 1}])
            for queue, timeout, code in (("nothing", 600, "REFUSED"), ("silent", 0.001, "TIMED_OUT"), ("nowhere", 600, "NOT_FOUND")):
                with self.assertRaises(millrace.MillraceError) as caught:
                    engine.request(queue, 1, timeout=timeout)
                self.assertEqual(caught.exception.code, "MILLRACE_" + code)
            engine.register("alone", lambda task: task.message is None)
            self.assertIs(engine.prepare("format: 1\nworkflow: w\nresult: a\ntasks: [{ id: a, handler: alone }]").run(), True)

    def test_a_run_outlives_its_engine_as_a_record_and_is_none_after_that(self) -> None:
        engine = millrace.Engine(threads=1)
        workflow = engine.prepare("format: 1\nworkflow: w\ntasks: [{ id: a, wait: { signal: never } }]")
        run = workflow.start()
        engine.close()
        self.assertEqual(run.status, "CANCELLED")
        with self.assertRaises(millrace.MillraceError) as caught:
            engine.close()
        self.assertEqual(caught.exception.code, "MILLRACE_BAD_HANDLE")
        with self.assertRaises(millrace.MillraceError) as caught:
            workflow.start()
        self.assertEqual(caught.exception.code, "MILLRACE_BAD_HANDLE")
        del run, workflow
        gc.collect()


if __name__ == "__main__":
    unittest.main()
