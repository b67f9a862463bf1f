"""The stream in `httpx-sse`, which Python programs read streams with: python3 test_httpx_sse.py URL"""

import sys
import time
import unittest

import httpx
from httpx_sse import connect_sse

URL = sys.argv.pop()


class Stream(unittest.TestCase):
    def test_it_reads_beats_one_by_one_and_the_retry(self):
        with httpx.Client(timeout=10) as client, connect_sse(client, "GET", f"{URL}/sse/heartbeat") as source:
            beats, arrivals, retry = [], [], None
            for event in source.iter_sse():
                retry = event.retry or retry
                beats.append(event)
                arrivals.append(time.monotonic())
                if len(beats) == 4:
                    break
        self.assertEqual(retry, 2000)
        self.assertEqual([(beat.event, beat.data) for beat in beats], [("heartbeat", "ping")] * 4)
        self.assertEqual(sorted({beat.id for beat in beats}), [beat.id for beat in beats])
        gaps = [later - earlier for earlier, later in zip(arrivals, arrivals[1:])]
        # A beat that comes late is followed by a short gap.
        self.assertGreater(sorted(gaps)[1], 0.1, gaps)

    def test_it_sees_a_clean_end_at_the_max_age(self):
        with httpx.Client(timeout=10) as client, connect_sse(client, "GET", f"{URL}/sse/heartbeat") as source:
            self.assertGreater(len(list(source.iter_sse())), 3)


if __name__ == "__main__":
    unittest.main()
