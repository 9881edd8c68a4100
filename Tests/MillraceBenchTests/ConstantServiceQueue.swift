import Glibc

/// The M/D/1 queue in closed form: Poisson arrivals, one server, a fixed service time.
///
/// Source: Erlang (1909) for the distribution of waiting times, as in Tijms, "A First Course in Stochastic Models", 9.6; Pollaczek and Khinchine for the
/// mean.
struct ConstantServiceQueue {
  /// Arrivals a second.
  var rate: Double
  /// Seconds.
  var service: Double

  var load: Double { rate * service }
  var meanWait: Double { load * service / (2 * (1 - load)) }

  /// The chance to wait no longer than `wait` seconds.
  func chance(ofWaitingAtMost wait: Double) -> Double {
    var sum = 0.0
    for k in 0...Int(wait / service) {
      let x = rate * (wait - Double(k) * service)
      // (-x)^k / k! e^x, by logarithms.
      let magnitude = x > 0 ? exp(Double(k) * log(x) - lgamma(Double(k) + 1) + x) : (k == 0 ? 1 : 0)
      sum += k.isMultiple(of: 2) ? magnitude : -magnitude
    }
    return (1 - load) * sum
  }

  /// Seconds that so large a part of the requests waits at most.
  func wait(atQuantile quantile: Double) -> Double {
    bisect(0, 50 * service) { chance(ofWaitingAtMost: $0) < quantile }
  }

  /// The rate at which a quantile of the response time reaches `limit` seconds.
  static func rate(service: Double, quantile: Double, limit: Double) -> Double {
    bisect(0, 0.97 / service) { rate in
      ConstantServiceQueue(rate: rate, service: service).chance(ofWaitingAtMost: limit - service) > quantile
    }
  }
}

/// Where `isBelow` changes from true to false.
private func bisect(_ low: Double, _ high: Double, _ isBelow: (Double) -> Bool) -> Double {
  var (low, high) = (low, high)
  for _ in 0..<60 {
    let middle = (low + high) / 2
    if isBelow(middle) { low = middle } else { high = middle }
  }
  return (low + high) / 2
}
