# Everyday commands. CI runs .ci/run.

.PHONY: build demo test check bench speech pictures

build: ## the program, in ./callvault
	go build -trimpath -o callvault ./cmd/callvault

demo: ## see it work
	go run ./cmd/callvault demo

test: ## the tests that need only Go
	go test ./...

check: ## everything that must hold before a change lands
	.ci/run

bench: ## measure against other programs, side by side
	bench/run all

speech: ## regenerate the sample calls' audio
	sample/make-speech.sh

pictures: ## retake the README's screenshots, in Chromium, with the font Inter where it is installed
	go run ./docs/pictures
