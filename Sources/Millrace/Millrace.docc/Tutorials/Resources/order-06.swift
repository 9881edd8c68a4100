import Millrace
import MillraceTesting

struct Order: Codable, Sendable { var number: Int, articles: [String] }

func handlers(_ registry: some HandlerRegistry) throws {
  try registry.register("check") { (order: Order, _) in
    if order.articles.isEmpty { throw TaskFailure("empty", "order \(order.number) has no articles", isRetryable: false) }
    return order
  }
  try registry.register("charge") { (_: JSON, context) async throws -> Int in
    try await Task.sleep(for: .milliseconds(1))
    return try context.output(of: "check", as: Order.self).articles.count * 20
  }
  try registry.register("pack") { (article: String, _) in "parcel with a \(article)" }
  try registry.register("ship") { (_: JSON, context) in try context.outputs(as: String.self) }
}

func workflow(_ order: Order) throws -> Definition {
  var workflow = Definition("order", result: "ship")
  let check = workflow.task("check", handler: "check", input: try JSON(encoding: order))
  let charge = workflow.task(
    "charge", handler: "charge", dependencies: [check], retry: RetryPolicy(attempts: 5), timeouts: Timeouts(startToClose: 30_000_000_000))
  let parcels = order.articles.map { workflow.task("pack-\($0)", handler: "pack", dependencies: [charge], input: .string($0)) }
  workflow.task("ship", handler: "ship", dependencies: parcels)
  return workflow
}

let test = try TestEngine()
try handlers(test)
try test.mock("charge", [.failing(TaskFailure("away", "", retryAfter: .seconds(30 * 86_400))), .hanging, .returning(40)])
let run = try test.run(workflow(Order(number: 7, articles: ["lamp"])))
print(run.attempts(of: "charge").map(\.errorType), run.status.rawValue)  // prints: ["away", "start-to-close", ""] COMPLETED
