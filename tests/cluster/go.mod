module cluster

go 1.26.0
