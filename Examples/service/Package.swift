// swift-tools-version: 6.2
import PackageDescription

// A service that embeds the engine, as a package of its own would be. Elsewhere `millrace` has a url instead of a path.
let package = Package(
  name: "service",
  dependencies: [
    .package(name: "millrace", path: "../..", traits: ["Services"]),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    .executableTarget(
      name: "Service",
      dependencies: [
        .product(name: "Millrace", package: "millrace"), .product(name: "MillraceServices", package: "millrace"),
        .product(name: "Logging", package: "swift-log"), .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
