"""What the connection test holds a server to."""
from __future__ import annotations

from mcpweb.plugin import Check

CHECKS = (
    Check("C01", "Image is the one approved and fits this machine", "medium",
          "Fails when the tag means another image than at the first start, or the platform does not fit."),
    Check("C02", "Starts under the hardened defaults", "medium", "Fails for each relaxation the configuration needs."),
    Check("C03", "Keeps running", "high", "Fails when the server exits, is killed or runs out of memory by itself."),
    Check("C04", "Standard output carries only the protocol", "medium", "Fails for lines that are not JSON-RPC."),
    Check("C05", "Agrees on a protocol version", "info", "Tells era, version and times; a silent probe is noted."),
    Check("C06", "Refuses a protocol version it does not know", "medium"),
    Check("C07", "Survives malformed messages", "high", "Fails when the server dies, hangs, or calls nonsense a success."),
    Check("C08", "Leaves when its input ends or it is told to", "low"),
    Check("C09", "Serves what it announces", "low", "Fails when announced lists fail or unannounced ones work."),
    Check("C10", "HTTP endpoint is closed to other origins", "high"),
)

REPRODUCE = {
    "C01": "Run `docker image inspect` on the image and compare its Id with the one in the evidence.",
    "C02": "Read the server's configuration; the evidence names each line that loosens a default.",
    "C03": "Start the image with this configuration and its limits, and wait for it to end; the evidence has its last words.",
    "C04": "Start the server and read its standard output; the lines in the evidence are among the first.",
    "C05": "Start the server and send server/discover, then initialize, each as one line of JSON.",
    "C06": "Send the input as it is, as one line of JSON.",
    "C07": "Send the input as it is, then a sound tools/list.",
    "C08": "Close the server's standard input, or send it SIGTERM, and wait.",
    "C09": "Ask for tools, resources and prompts, and compare what comes with the capabilities in the evidence.",
    "C10": "Send the input to the endpoint with the headers it names, for example with curl.",
}
