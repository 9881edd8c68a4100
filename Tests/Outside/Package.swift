// swift-tools-version: 6.2
import PackageDescription

// Somebody else's package. `run` puts the path of Millrace in, and the example of README.md into Sources/Embedding.
let package = Package(
  name: "outside",
  dependencies: [.package(name: "millrace", path: "MILLRACE")],
  targets: [
    .executableTarget(name: "Embedding", dependencies: [.product(name: "Millrace", package: "millrace")]),
    .executableTarget(name: "Outside", dependencies: [.product(name: "Millrace", package: "millrace")]),
    .executableTarget(
      name: "Tutorial",
      dependencies: [.product(name: "Millrace", package: "millrace"), .product(name: "MillraceTesting", package: "millrace")]),
  ]
)
