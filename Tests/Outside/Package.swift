// swift-tools-version: 6.2
import PackageDescription

// Somebody else's package. `run` puts the path of Millrace in, and the programs that the documentation shows into Sources.
let articles = ["Overview", "Embedding", "WritingHandlers", "Definitions", "Testing"].map { $0 + "Article" }
let steps = (1...6).map { "Order0\($0)" }
let both: [Target.Dependency] = [.product(name: "Millrace", package: "millrace"), .product(name: "MillraceTesting", package: "millrace")]

let package = Package(
  name: "outside",
  dependencies: [.package(name: "millrace", path: "MILLRACE")],
  targets: [
    .executableTarget(name: "ReadMe", dependencies: [.product(name: "Millrace", package: "millrace")]),
    .executableTarget(name: "Outside", dependencies: [.product(name: "Millrace", package: "millrace")]),
  ] + (["Tutorial", "Sagas"] + articles + steps).map { .executableTarget(name: $0, dependencies: both) }
)
