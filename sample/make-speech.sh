#!/bin/sh
# Makes speech/*.opus, the audio of the sample calls, from the dialogues
# speech/*.txt. Needs: apt-get install espeak-ng sox opus-tools
#
# A dialogue is one line for each of the two voices, "A = OPTIONS" with the
# options of espeak-ng, then what they say in turn, "A: …" and "B: …". A is the
# agent who is recorded, B the other party.
#
# The same tools produce the same bytes: the files contain nothing random and no date.
set -eu

cd "$(dirname "$0")/speech"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# line VOICE TEXT FILE: what one voice says, with the bandwidth of a phone line.
line() {
    options=$(sed -n "s/^$1 = //p" "$dialogue")
    # shellcheck disable=SC2086 # the options are several words
    printf '%s\n' "$2" | espeak-ng $options --stdin -w "$work/spoken.wav"
    sox -R "$work/spoken.wav" -c 1 -b 16 "$3" \
        gain -3 rate 8000 sinc 300-3400 \
        gain -n gain -l 8 gain -4 \
        silence 1 0.02 0.2% reverse silence 1 0.02 0.2% reverse pad 0.15 0.25
}

# spoken NAME: the whole dialogue as one file, cut to a multiple of 10 ms so that
# its length is a whole number of milliseconds.
spoken() {
    count=1000
    grep '^[AB]: ' "$dialogue" > "$work/lines"
    while IFS= read -r said; do
        count=$((count + 1))
        line "${said%%:*}" "${said#??}" "$work/$1-$count.wav"
    done < "$work/lines"
    sox -R "$work/$1"-1*.wav "$work/joined.wav" pad 0.3 0.3
    samples=$(soxi -s "$work/joined.wav")
    sox -R "$work/joined.wav" "$work/$1.wav" trim 0 "$((samples - samples % 80))s"
}

serial=0
for dialogue in *.txt; do
    name=${dialogue%.txt}
    serial=$((serial + 1))
    spoken "$name"
    opusenc --quiet --bitrate 8 --vbr --speech --framesize 60 --comp 10 \
        --discard-comments --padding 0 --serial "$serial" \
        "$work/$name.wav" "$name.opus"
    printf '%s %s s, %s bytes\n' "$name" "$(soxi -D "$work/$name.wav")" "$(wc -c < "$name.opus")"
done
