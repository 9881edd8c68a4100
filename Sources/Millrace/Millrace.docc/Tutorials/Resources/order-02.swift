import Millrace

struct Order: Codable, Sendable { var number: Int, articles: [String] }

let engine = try Engine()
try engine.register("check") { (order: Order, _) in
  if order.articles.isEmpty { throw TaskFailure("empty", "order \(order.number) has no articles", isRetryable: false) }
  return order
}

var workflow = Definition("order", result: "check")
let order = try JSON(encoding: Order(number: 7, articles: ["lamp", "chair"]))
workflow.task("check", handler: "check", input: order)

let result = try await engine.run(workflow)
print(try result.value(as: Order.self).articles.count)  // prints: 2
await engine.drain(timeout: .seconds(10))
