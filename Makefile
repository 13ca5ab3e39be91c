# The commands of a working day. CI runs .ci/run.

.PHONY: build demo test check bench speech pictures

build: ## the program, in ./callvault
	go build -trimpath -o callvault ./cmd/callvault

demo: ## see it work
	go run ./cmd/callvault demo

test: ## what needs only Go
	go test ./...

check: ## all that must hold before a change lands
	.ci/run

bench: ## ratios against peers, side by side
	bench/run all

speech: ## make the sample calls' audio anew
	sample/make-speech.sh

pictures: ## take the README's pictures anew, in Chromium, with the font Inter where it is installed
	go run ./docs/pictures
