module broker

go 1.19
