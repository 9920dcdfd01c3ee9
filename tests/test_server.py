"""The setting that the installation gives to Jupyter's server, on a real server with a real kernel."""

import json
import socket

import pytest
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect


async def nodelay_of_a_kernel_connection(server):
    """What the server's end of a page's connection says of TCP_NODELAY."""
    address = f"127.0.0.1:{server.port}/api/kernels"
    answer = await AsyncHTTPClient().fetch(
        f"http://{address}", method="POST", body="{}", request_timeout=60
    )
    kernel = json.loads(answer.body)["id"]
    page = await websocket_connect(f"ws://{address}/{kernel}/channels?session_id=a")
    await page.read_message()
    (connection,) = ZMQChannelsWebsocketConnection._open_sockets
    found = connection.websocket_handler.ws_connection.stream.socket.getsockopt(
        socket.IPPROTO_TCP, socket.TCP_NODELAY
    )
    page.close()
    await server.kernel_manager.shutdown_all()
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the server's own code
def test_short_messages_reach_the_page_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setattr(ServerApp, "init_signal", lambda self: None)  # Ctrl-C remains pytest's
    server = ServerApp()
    options = [
        "--port=0",
        "--allow-root",
        "--IdentityProvider.token=",
        "--ServerApp.disable_check_xsrf=True",
    ]
    server.initialize([*options, f"--ServerApp.root_dir={tmp_path}"], new_httpserver=True)
    try:
        assert (
            server.io_loop.run_sync(lambda: nodelay_of_a_kernel_connection(server), timeout=120)
            != 0
        )
    finally:
        server.http_server.stop()
