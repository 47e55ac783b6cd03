module coffer/bench

go 1.26

require coffer v0.0.0

replace coffer => ..
