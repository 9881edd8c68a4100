import Millrace

// What an embedding program does beyond the example of README.md: a definition as text, faults, progress, failure, cancellation.
func check(_ holds: Bool, _ what: String) {
  if !holds { fatalError("does not hold: \(what)") }
}

let engine = try Engine()
try engine.register("double") { call in .json(.integer((try call.input["value"]?.integer ?? 0) * 2)) }
try engine.register("sum") { call in .json(.integer(call.inputs.reduce(0) { $0 + ($1.json?.integer ?? 0) })) }
try engine.register("refuse") { _ in throw TaskFailure("no-luck", "not today", isRetryable: false) }
try engine.register("until-told", blocking: true) { call in
  while !call.isCancelled {}
  throw CancellationError()
}

let text = """
  format: 1
  workflow: sums
  parameters: { first: { default: 1 } }
  result: sum
  tasks:
    - { id: a, handler: double, input: { value: "${params.first}" } }
    - { id: b, handler: double, input: { value: 20 } }
    - { id: sum, handler: sum, dependencies: [a, b] }
  """
let reading = try DefinitionReader(handlers: engine.handlerNames).read(Array(text.utf8), name: "sums.yaml")
let sums = try engine.start(reading, parameters: ["first": 3])
var last: Progress?
for await progress in sums.updates { last = progress }
check(await sums.finished() == .completed, "a correct workflow completes")
check(sums.result == 46, "outputs reach dependents, and parameters the inputs")
check(last?.completed == 3, "the last progress is the end")

var failing = Definition("failing")
let refused = failing.task("refused", handler: "refuse")
failing.task("after", handler: "double", dependencies: [refused])
let failed = try engine.start(failing)
check(await failed.finished() == .failed, "a failed task fails the workflow")
check(failed.record().tasks[0].attempts[0].errorType == "no-luck", "the error is kept")
check(failed.record().tasks[1].cause == "refused", "a skipped task knows why")

var endless = Definition("endless")
endless.task("endless", handler: "until-told")
let cancelled = try engine.start(endless)
cancelled.cancel()
check(await cancelled.finished() == .cancelled, "a cancelled run ends")

do {
  _ = try DefinitionReader(handlers: engine.handlerNames).read(
    Array("format: 1\nworkflow: x\ntasks: [{ id: a, handler: duoble }]\n".utf8), name: "x.yaml")
  check(false, "an unknown handler is refused")
} catch {
  check(error.faults.first?.fix.contains("double") == true, "the nearest name is offered")
}
engine.shutdown()
print("outside: all holds")
