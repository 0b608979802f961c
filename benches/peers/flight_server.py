"""pyarrow's Flight server: sends the batches of a file, which it holds in memory, to whoever asks with any ticket.

Use: flight_server.py FILE; FILE is an Arrow IPC stream. Says `ready http://HOST:PORT` and serves until it is killed.
"""
import sys
import pyarrow as pa
import pyarrow.flight as flight


class Held(flight.FlightServerBase):
    def __init__(self, table):
        super().__init__("grpc://127.0.0.1:0")
        self.table = table

    def do_get(self, context, ticket):
        return flight.RecordBatchStream(self.table)


with open(sys.argv[1], "rb") as file:
    server = Held(pa.ipc.open_stream(file.read()).read_all())
print(f"ready http://127.0.0.1:{server.port}", flush=True)
server.serve()
