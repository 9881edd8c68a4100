import Millrace

struct Order: Codable, Sendable { var number: Int, articles: [String] }

let engine = try Engine()
try engine.register("check") { (order: Order, _) in
  if order.articles.isEmpty { throw TaskFailure("empty", "order \(order.number) has no articles", isRetryable: false) }
  return order
}
