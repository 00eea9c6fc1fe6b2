#!/usr/bin/env python3
"""Constant load on a server's /v1/completions, and what came of it.

usage: swap_load.py run URL TOKEN RECORDS STOP [STREAMS [ANSWER_TOKENS [WORDS]]]
       swap_load.py check RECORDS ENSEMBLE=URL...
       swap_load.py count RECORDS

`run` asks from so many streams until the file STOP exists, then lets each finish: half of them single requests, half
conversations of three turns by name. Each answer is a line of RECORDS: when it began, how long its first word took, who gave it (by
its header, its stream and its end, which must agree), and its words. `check` asks the servers of the single ensembles the same
again, greedily: every answer must be one that the ensemble it names gives. `count` prints the figures."""
import concurrent.futures, http.client, json, os, sys, threading, time

PROMPTS = ["set a timer for ten minutes", "what is the weather like in Lisbon tomorrow", "remind me to call Ana at noon",
           "turn off the lights in the kitchen", "play some quiet music", "how far is the moon from here"]
WORDS = "the quick brown fox jumps over the lazy dog while seven wizards judge my vow and pack a box of five dozen jugs".split()


def ask(address, token, prompt, tokens, name=None):
    """One streamed answer; raises on anything but a whole one."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = "Bearer " + token
    if name:
        headers["X-Covey-Conversation"] = name
    line = http.client.HTTPConnection(address, timeout=600)
    record = {"start": time.time(), "prompt": prompt, "name": name, "tokens": tokens}
    begun = time.monotonic()
    body = json.dumps({"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True})
    line.request("POST", "/v1/completions", body, headers)
    answer = line.getresponse()
    if answer.status != 200:
        raise OSError("status %d: %s" % (answer.status, answer.read()[:200]))
    words, done, prints, first = [], False, set(), None
    for raw in answer:
        if not raw.startswith(b"data: "):
            continue
        if raw.startswith(b"data: [DONE]"):
            done = True
            continue
        event = json.loads(raw[6:])
        if "error" in event:
            raise OSError("cut: " + event["error"]["message"])
        if first is None:
            first = time.monotonic() - begun
        prints.add(event.get("system_fingerprint"))
        if "covey" in event:
            record["ensemble"] = event["covey"]["ensemble"]
        for choice in event.get("choices", []):
            words.append(choice.get("text") or "")
    if not done:
        raise OSError("cut: the stream ended without its last event")
    line.close()
    record.update(first_s=first, whole_s=time.monotonic() - begun, text="".join(words), header=answer.getheader("X-Covey-Ensemble"),
                  prints=sorted(str(one) for one in prints))
    return record


def streams_of(address, token, path, stop, count, tokens, words):
    lock, out = threading.Lock(), open(path, "a", buffering=1)

    def write(record):
        with lock:
            out.write(json.dumps(record) + "\n")

    def stream(index):
        turn, serial, prompt = 0, 0, ""
        while not os.path.exists(stop):
            named = index % 2 == 1
            if turn == 0:
                prompt = PROMPTS[(index + serial) % len(PROMPTS)]
                if words:  # no two begin alike, so that none is in the server's cache
                    filler = " ".join(WORDS[(index + i) % len(WORDS)] for i in range(words))
                    prompt = "%d %d %s %s" % (serial, index, filler, prompt)
            try:
                record = ask(address, token, prompt, tokens, "talk-%d-%d" % (index, serial) if named else None)
                write(record)
                prompt += record["text"] + " and " + PROMPTS[(index + serial + turn + 1) % len(PROMPTS)]
                turn = (turn + 1) % 3 if named else 0
            except (OSError, http.client.HTTPException, ValueError) as error:
                write({"start": time.time(), "failed": "%s: %s" % (type(error).__name__, error)})
                turn = 0
                time.sleep(0.05)
            serial += turn == 0

    threads = [threading.Thread(target=stream, args=(i,)) for i in range(count)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def records_of(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines]


def agrees(record):
    return record.get("ensemble") == record["header"] and len(record["prints"]) == 1


def percentile(values, share):
    """The smallest value that at least so large a share of all values do not exceed."""
    values = sorted(values)
    return values[max(0, -(-len(values) * share // 100) - 1)] if values else float("nan")


def check(path, references):
    """How many answers are not what the ensemble that they name gives."""
    wrong = 0
    good = [record for record in records_of(path) if "failed" not in record]
    key_of = lambda record: (record["header"], record["prompt"], record["tokens"])
    keys = sorted({key_of(record) for record in good if record["header"] in references})
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda key: ask(references[key[0]], None, key[1], key[2])["text"], keys)
        known = dict(zip(keys, answers))
    for record in good:
        if not agrees(record) or known.get(key_of(record)) != record["text"]:
            wrong += 1
            print("mixed: %r is given, and the answer was %s" % (known.get(key_of(record)), json.dumps(record)), file=sys.stderr)
    print("%d different questions asked again, %d answers mixed" % (len(known), wrong))
    return wrong


def main(argv):
    if argv[:1] == ["run"] and len(argv) in (5, 6, 7, 8):
        numbers = [int(text) for text in argv[5:]] + [8, 24, 0][len(argv) - 5:]
        streams_of(argv[1], argv[2], argv[3], argv[4], *numbers)
        return 0
    if argv[:1] == ["check"] and len(argv) > 2:
        return 1 if check(argv[1], dict(text.split("=", 1) for text in argv[2:])) else 0
    if argv[:1] == ["count"] and len(argv) == 2:
        all_of = records_of(argv[1])
        failed = [record["failed"] for record in all_of if "failed" in record]
        ensembles = {}
        for record in all_of:
            if "failed" not in record:
                ensembles[record["header"]] = ensembles.get(record["header"], 0) + 1
        print(json.dumps({"requests": len(all_of), "failed": len(failed), "ensembles": ensembles, "why": failed[:5]}))
        return 1 if failed else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
