import Millrace

struct Order: Codable, Sendable { var number: Int, articles: [String] }

let engine = try Engine()
try engine.register("check") { (order: Order, _) in
  if order.articles.isEmpty { throw TaskFailure("empty", "order \(order.number) has no articles", isRetryable: false) }
  return order
}
try engine.register("charge") { (_: JSON, context) async throws -> Int in
  try await Task.sleep(for: .milliseconds(1))
  if context.attempt < 3 { throw TaskFailure("away", "the bank does not answer", retryAfter: .milliseconds(1)) }
  return try context.output(of: "check", as: Order.self).articles.count * 20
}
try engine.register("pack") { (article: String, _) in "parcel with a \(article)" }
try engine.register("ship") { (_: JSON, context) in try context.outputs(as: String.self) }

var workflow = Definition("order", result: "ship")
let articles = ["lamp", "chair"]
let order = try JSON(encoding: Order(number: 7, articles: articles))
let check = workflow.task("check", handler: "check", input: order)
let charge = workflow.task(
  "charge", handler: "charge", dependencies: [check], retry: RetryPolicy(attempts: 5), timeouts: Timeouts(startToClose: 30_000_000_000))
let parcels = articles.map { workflow.task("pack-\($0)", handler: "pack", dependencies: [charge], input: .string($0)) }
workflow.task("ship", handler: "ship", dependencies: parcels)

let result = try await engine.run(workflow)
let attempts = result.record().tasks[1].attempts
print(attempts.map(\.errorType))  // prints: ["away", "away", ""]
await engine.drain(timeout: .seconds(10))
