import Millrace

struct Order: Codable, Sendable { var number: Int, articles: [String] }

let engine = try Engine()
try engine.register("check") { (order: Order, _) in
  if order.articles.isEmpty { throw TaskFailure("empty", "order \(order.number) has no articles", isRetryable: false) }
  return order
}
try engine.register("charge") { (_: JSON, context) in
  let order = try context.output(of: "check", as: Order.self)
  return order.articles.count * 20
}

var workflow = Definition("order", result: "charge")
let order = try JSON(encoding: Order(number: 7, articles: ["lamp", "chair"]))
let check = workflow.task("check", handler: "check", input: order)
workflow.task("charge", handler: "charge", dependencies: [check])

let result = try await engine.run(workflow)
print(try result.value(as: Int.self))  // prints: 40
await engine.drain(timeout: .seconds(10))
